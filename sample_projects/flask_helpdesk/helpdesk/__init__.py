"""A small helpdesk: an application factory."""

import os
from pathlib import Path

from flask import Flask

from helpdesk import database, pages
from helpdesk.tools import mcp


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        # For the sample only: a real project keeps its key out of the repository.
        SECRET_KEY=os.environ.get("HELPDESK_SECRET_KEY", "sample-key-of-the-helpdesk"),
        DATABASE=os.environ.get(
            "HELPDESK_DATABASE", str(Path(__file__).parent.parent / "helpdesk.sqlite3")
        ),
    )
    database.init_app(app)
    app.register_blueprint(pages.blueprint)
    mcp.init_app(app)
    return app
