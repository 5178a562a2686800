"""The polls as tools."""

from typing import Annotated

from pydantic import BaseModel, Field

from mcp_mount_django import ModelQuery, server
from tests.mcp_mount_django.tutorials.polls import views
from tests.mcp_mount_django.tutorials.polls.models import Choice, Question


@server.register
class Questions(ModelQuery):
    """Find questions by their words and date."""

    model = Question
    fields = ("pk", "question_text", "pub_date")
    filters = ("pub_date__year",)
    search = ("question_text",)
    ordering = ("pub_date",)
    permission = None


@server.register
class Choices(ModelQuery):
    model = Choice
    fields = ("pk", "choice_text", "votes", "question__question_text")
    filters = ("question", "votes__gte")
    permission = None


class Vote(BaseModel):
    question_id: Annotated[int, Field(description="As find_questions gives it")]
    choice: Annotated[int, Field(description="As find_choices gives it")]


class OfQuestion(BaseModel):
    question_id: int


class Words(BaseModel):
    words: str
    more: list[int] = []


server.add_view(views.IndexView.as_view(), name="latest_questions")
server.add_view(views.vote, Vote, method="POST", url=["question_id"], redirects=True)
server.add_view(views.results_json, OfQuestion, name="results", url=["question_id"])
server.add_view(views.mine)
server.add_view(views.echo, Words)
