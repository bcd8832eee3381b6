from serving.tritonserver.cli import main

main()
