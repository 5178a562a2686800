"""Image backends: what they are asked and return, where they are, and where pictures are kept."""

from mcp_mount.backends.images.functions import PartialImage
from mcp_mount.backends.images.openai import OpenAIImages
from mcp_mount.backends.images.standin import StandInBackend
from mcp_mount.backends.images.stores import (
    DirectoryImages,
    ImageStore,
    LinkingStore,
    MemoryImages,
)
from mcp_mount.features.prices import Price
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.images import (
    ImageBackend,
    ImageInvocation,
    ImagePieces,
    ImageRequest,
    PartialPicture,
    Picture,
)
from mcp_mount.routes.options import ImageOptions

__all__ = [
    "DirectoryImages",
    "ImageBackend",
    "ImageInvocation",
    "ImageOptions",
    "ImagePieces",
    "ImageRequest",
    "ImageStore",
    "LinkingStore",
    "MemoryImages",
    "ModelError",
    "OpenAIImages",
    "PartialImage",
    "PartialPicture",
    "Picture",
    "Price",
    "StandInBackend",
]
