"""The pages that a person opens."""

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from werkzeug.security import check_password_hash
from werkzeug.wrappers import Response

from helpdesk.database import connection

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def tickets() -> str | Response:
    if "person" not in session:
        return redirect(url_for("pages.login"))
    rows = connection().execute("SELECT * FROM ticket ORDER BY status DESC, priority").fetchall()
    return render_template("tickets.html", tickets=rows)


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    if request.method == "POST":
        person = (
            connection()
            .execute("SELECT * FROM person WHERE name = ?", (request.form["name"],))
            .fetchone()
        )
        if person and check_password_hash(person["password"], request.form["password"]):
            session["person"] = person["name"]
            return redirect(url_for("pages.tickets"))
        flash("Wrong name or password")
    return render_template("login.html")


@blueprint.post("/logout")
def logout() -> Response:
    session.clear()
    return redirect(url_for("pages.login"))
