from django.contrib.auth.models import User
from ninja import NinjaAPI

api = NinjaAPI()


@api.get("/authors/{name}", tags=["authors"])
async def author(request, name: str):
    """An author by name."""
    found = await User.objects.aget(username=name)
    return {"name": found.username, "path": request.path}
