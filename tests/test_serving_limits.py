"""What one picture may take."""

import pytest

from serving.render.limits import Limits, RequestError


def test_limits_name_the_side():
    limits = Limits(max_pixels=100, max_side=20)
    limits.check(20, 5)
    for size, field in (((21, 1), "width"), ((1, 21), "height"), ((20, 6), "width")):
        with pytest.raises(RequestError, match="the limit is") as refused:
            limits.check(*size)
        assert refused.value.field == field
