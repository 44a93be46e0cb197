from mcp_docker.cli import main

if __name__ == "__main__":
    main()
