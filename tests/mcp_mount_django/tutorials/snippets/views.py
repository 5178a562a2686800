from django.contrib.auth.models import User
from rest_framework import generics, permissions, renderers, viewsets
from rest_framework.decorators import action, api_view, throttle_classes
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle

from tests.mcp_mount_django.tutorials.snippets.models import Snippet
from tests.mcp_mount_django.tutorials.snippets.permissions import IsOwnerOrReadOnly
from tests.mcp_mount_django.tutorials.snippets.serializers import SnippetSerializer, UserSerializer


class SnippetViewSet(viewsets.ModelViewSet):
    queryset = Snippet.objects.all()
    serializer_class = SnippetSerializer
    permission_classes = (permissions.IsAuthenticatedOrReadOnly, IsOwnerOrReadOnly)

    @action(detail=True, renderer_classes=[renderers.StaticHTMLRenderer])
    def highlight(self, request, *args, **kwargs):
        """The snippet as a page, in colours."""
        return Response(self.get_object().highlighted)

    def perform_create(self, serializer):
        serializer.save(owner=self.request.user)


class UserViewSet(viewsets.ReadOnlyModelViewSet):
    """The authors of snippets."""

    queryset = User.objects.order_by("pk")
    serializer_class = UserSerializer


class UserList(generics.ListAPIView):
    queryset = User.objects.order_by("pk")
    serializer_class = UserSerializer


class Seldom(UserRateThrottle):
    rate = "1/day"


@api_view(["GET"])
@throttle_classes([Seldom])
def rare(request):
    """Something that costs."""
    return Response({"cost": 1})


@api_view(["GET"])
def count_snippets(request):
    """How many snippets there are."""
    return Response({"count": Snippet.objects.count()})
