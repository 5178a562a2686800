from django.contrib.auth.decorators import login_required
from django.db.models import F
from django.http import HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views import generic

from tests.mcp_mount_django.tutorials.polls.models import Choice, Question


class IndexView(generic.ListView):
    """The last five published questions."""

    template_name = "polls/index.html"
    context_object_name = "latest_question_list"

    def get_queryset(self):
        return Question.objects.filter(pub_date__lte=timezone.now()).order_by("-pub_date")[:5]


class DetailView(generic.DetailView):
    """A question with its choices."""

    model = Question
    template_name = "polls/detail.html"


class ResultsView(generic.DetailView):
    model = Question
    template_name = "polls/results.html"


def vote(request, question_id):
    """Vote for a choice of a question."""
    question = get_object_or_404(Question, pk=question_id)
    try:
        selected_choice = question.choice_set.get(pk=request.POST["choice"])
    except (KeyError, Choice.DoesNotExist):
        context = {"question": question, "error_message": "You didn't select a choice."}
        return render(request, "polls/detail.html", context)
    selected_choice.votes = F("votes") + 1
    selected_choice.save()
    return HttpResponseRedirect(reverse("polls:results", args=(question.id,)))


def results_json(request, question_id):
    """The votes of a question."""
    question = get_object_or_404(Question, pk=question_id)
    return JsonResponse({one.choice_text: one.votes for one in question.choice_set.order_by("pk")})


@login_required
def mine(request):
    """A page for those who have logged in."""
    return JsonResponse({"user": request.user.username})


async def echo(request):
    """A coroutine view."""
    return JsonResponse({"words": request.GET["words"], "again": request.GET.getlist("more")})
