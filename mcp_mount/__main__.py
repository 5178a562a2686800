import sys

from mcp_mount.cli import main

sys.exit(main())
