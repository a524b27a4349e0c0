"""What tools take, described for agents."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from mcp_server.shapes import MICROS

MachineName = Annotated[str, Field(description="Its handle, such as m12.")]
CheckpointName = Annotated[
    str, Field(description="Its handle, such as m12.c3; a project's beginning is demo.c0.")
]
ProjectName = Annotated[str, Field(description="Its slug, such as demo.")]
After = Annotated[int, Field(ge=0, description="Only lines after this one; see `after` of the last answer.")]


class GivenFile(BaseModel):
    """A file to put into the workspace, or to delete from it, before the agent starts."""

    path: str = Field(description="Relative to the workspace.")
    content: str = ""
    mode: str = Field(default="0644", description="Octal permission bits.")
    delete: bool = False


class Limits(BaseModel):
    """What the new machine may use at most; its project's limits hold as well."""

    money: float | None = Field(default=None, gt=0, description="In units of the project's currency.")
    tokens: int | None = Field(default=None, gt=0)
    calls: int | None = Field(default=None, gt=0)

    def asked(self) -> dict[str, int]:
        """As the API takes them."""
        given = self.model_dump(exclude_none=True)
        return given | ({"money": round(given["money"] * MICROS)} if "money" in given else {})


class Start(BaseModel):
    """How a new machine starts."""

    model: str = Field(default="", description="Another model than the type's own.")
    files: list[GivenFile] = []
    limits: Limits = Limits()
    wall_seconds: int | None = Field(default=None, description="End it after so long.")
    network: Literal["", "sealed", "hub", "open"] = Field(
        default="", description="A stricter one than the type's own."
    )

    def asked(self) -> dict[str, Any]:
        """As the API takes it."""
        return {
            "model": self.model,
            "files": [
                {"path": one.path, "delete": True} if one.delete else one.model_dump() for one in self.files
            ],
            "limits": self.limits.asked(),
            "wall_seconds": self.wall_seconds,
            "network": self.network,
        }


Options = Annotated[Start, Field(description="How it starts, where that is not as usual.")]
Key = Annotated[
    str | None,
    Field(max_length=100, description="The same key again gives the first machine, and no second one."),
]
