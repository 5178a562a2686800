import sys

from mcp_mount.cli.main import main

sys.exit(main())
