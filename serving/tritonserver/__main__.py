from serving.tritonserver.cli import main

if __name__ == "__main__":
    main()
