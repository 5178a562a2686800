"""The blog of Flask's tutorial, rebuilt: users, sessions, forms, SQLite."""

from __future__ import annotations

import functools
import sqlite3
from typing import Any

from flask import (
    Blueprint,
    Flask,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from werkzeug.security import check_password_hash, generate_password_hash

SCHEMA = """
CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT UNIQUE NOT NULL, password TEXT NOT NULL);
CREATE TABLE post (id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL, title TEXT NOT NULL,
                   body TEXT NOT NULL);
"""


def get_db() -> sqlite3.Connection:
    if "db" not in g:
        g.db = sqlite3.connect(current_app.config["DATABASE"])
        g.db.row_factory = sqlite3.Row
    return g.db


def close_db(error: BaseException | None = None) -> None:
    db = g.pop("db", None)
    if db is not None:
        db.close()


auth = Blueprint("auth", __name__, url_prefix="/auth")
blog = Blueprint("blog", __name__)


@auth.route("/register", methods=("GET", "POST"))
def register() -> Any:
    if request.method == "POST":
        name, password = request.form["username"], request.form["password"]
        if name and password:
            get_db().execute(
                "INSERT INTO user (username, password) VALUES (?, ?)",
                (name, generate_password_hash(password, "pbkdf2:sha256:1")),
            )
            get_db().commit()
            return redirect(url_for("auth.login"))
        flash("Username and password are required.")
    return render_template("auth/login.html")


@auth.route("/login", methods=("GET", "POST"))
def login() -> Any:
    if request.method == "POST":
        query = "SELECT * FROM user WHERE username = ?"
        user = get_db().execute(query, (request.form["username"],)).fetchone()
        if user and check_password_hash(user["password"], request.form["password"]):
            session.clear()
            session["user_id"] = user["id"]
            return redirect(url_for("index"))
        flash("Incorrect username or password.")
    return render_template("auth/login.html")


@auth.before_app_request
def load_logged_in_user() -> None:
    query = "SELECT * FROM user WHERE id = ?"
    g.user = get_db().execute(query, (session.get("user_id"),)).fetchone()


def login_required(view: Any) -> Any:
    @functools.wraps(view)
    def wrapped_view(**arguments: Any) -> Any:
        if g.user is None:
            return redirect(url_for("auth.login"))
        return view(**arguments)

    return wrapped_view


def get_post(id: int) -> sqlite3.Row:
    query = "SELECT * FROM post WHERE id = ?"
    post: sqlite3.Row | None = get_db().execute(query, (id,)).fetchone()
    if post is None:
        abort(404, f"Post id {id} doesn't exist.")
    if post["author_id"] != g.user["id"]:
        abort(403)
    return post


@blog.route("/")
def index() -> str:
    """The posts of the blog."""
    query = "SELECT title, body, username FROM post JOIN user ON author_id = user.id"
    return render_template("blog/index.html", posts=get_db().execute(query).fetchall())


@blog.route("/create", methods=("GET", "POST"))
@login_required
def create() -> Any:
    """Write a post."""
    if request.method == "POST":
        if request.form["title"]:
            get_db().execute(
                "INSERT INTO post (title, body, author_id) VALUES (?, ?, ?)",
                (request.form["title"], request.form["body"], g.user["id"]),
            )
            get_db().commit()
            return redirect(url_for("blog.index"))
        flash("Title is required.")
    return render_template("blog/create.html")


@blog.route("/<int:id>/delete", methods=("POST",))
@login_required
def delete(id: int) -> Any:
    """Delete a post of one's own."""
    get_post(id)
    get_db().execute("DELETE FROM post WHERE id = ?", (id,))
    get_db().commit()
    return redirect(url_for("blog.index"))


def create_app(database: str) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(SECRET_KEY="dev", DATABASE=database)
    app.teardown_appcontext(close_db)
    app.register_blueprint(auth)
    app.register_blueprint(blog)
    app.add_url_rule("/", endpoint="index")
    return app
