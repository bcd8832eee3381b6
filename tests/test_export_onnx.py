"""What is particular to ONNX artefacts: the versions that a runtime must read."""

import onnx

from export.formats.registry import get_format


def test_onnx_pins_what_a_runtime_must_read(tiny_repository):
    proto = onnx.load(tiny_repository / "tiny_onnx" / "1" / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert {entry.domain: entry.version for entry in proto.opset_import} == {"": 20}
    assert proto.ir_version == 10
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "rays", value.name


def test_onnx_of_another_opset_is_found(tmp_path, tiny_repository):
    target = get_format("onnx")
    proto = onnx.load(tiny_repository / "tiny_onnx" / "1" / "model.onnx")
    proto.opset_import[0].version = 18
    proto.ir_version = 9
    path = tmp_path / target.file_name
    path.write_bytes(proto.SerializeToString())
    failed = [check.name for check in target.inspect(path) if not check.passed]
    assert failed == ["opset", "IR version"]
