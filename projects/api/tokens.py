"""API tokens over REST, and JSON Web Tokens in exchange for one."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from projects import actions, jwts, tokens
from projects.authentication import TokenAuthentication
from projects.errors import Forbidden
from projects.jwt_authentication import JwtAuthentication
from projects.models import ApiToken, User
from projects.permissions import acting
from projects.roles import ADMINISTER, WORDS

SCOPES = [*((right.value, words) for right, words in WORDS.items()), (ADMINISTER, "Administer the system")]


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    user = serializers.CharField(source="user.username", help_text="Whose it is.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES))
    project = serializers.CharField(
        source="project.slug", allow_null=True, default=None, help_text="The only one that it is good for."
    )
    state = serializers.ChoiceField(choices=["alive", "expired", "revoked"])

    class Meta:
        model = ApiToken
        fields = ["id", "name", "prefix", "user", "scopes", "project", "state", "created_at", "expires_at",
                  "revoked_at", "last_used_at", "last_used_ip"]  # fmt: skip


class MadeTokenSerializer(TokenSerializer):
    key = serializers.CharField(help_text="Shown once.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "key"]


class NewTokenSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=60)
    scopes = serializers.MultipleChoiceField(
        choices=SCOPES,
        allow_empty=False,
        help_text="What it may do, of what you may do. Seeing is always among it.",
    )
    project = serializers.CharField(
        required=False,
        allow_null=True,
        default=None,
        help_text="The only one that it is good for; else all of yours.",
    )
    days = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        help_text=f"How long it lives, usually {tokens.DAYS}.",
    )


class RotationSerializer(serializers.Serializer[Any]):
    grace_minutes = serializers.IntegerField(
        required=False,
        default=0,
        min_value=0,
        max_value=tokens.GRACE_MINUTES_MAX,
        help_text="How long the old key lives on; 0: it dies at once.",
    )


class PairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="For `Authorization: Bearer`.")
    access_expires_at = serializers.DateTimeField()
    refresh = serializers.CharField(help_text="Good for one refresh.")
    refresh_expires_at = serializers.DateTimeField()


class RefreshSerializer(serializers.Serializer[Any]):
    refresh = serializers.CharField(max_length=4000)


class JwtSerializer(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=4000, help_text="An access or a refresh token.")


class TokenFilters(serializers.Serializer[Any]):
    user = serializers.CharField(
        required=False, help_text="Whose, for administrators; `*`: everybody's. Else your own."
    )
    dead = serializers.BooleanField(required=False, default=False, help_text="Expired and revoked ones, too.")


class Tokens(ListAPIView[ApiToken]):
    """Your API tokens, as far as the one in use covers them; the newest first. Keys are never told again."""

    serializer_class = TokenSerializer
    queryset = ApiToken.objects.none()

    @extend_schema(parameters=[TokenFilters], tags=["tokens"], operation_id="tokens_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[ApiToken]:
        asked = TokenFilters(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        user = acting(self.request.user)
        found = tokens.visible(user, dead=asked.validated_data["dead"])
        whose = asked.validated_data.get("user", user.username)
        return found if whose == "*" else found.filter(user__username=whose)

    @extend_schema(
        request=NewTokenSerializer,
        responses={201: MadeTokenSerializer},
        tags=["tokens"],
        operation_id="tokens_create",
    )
    def post(self, request: Request) -> Response:
        """Make a token that can do no more, and lives no longer, than the one in use. Its key is shown once."""
        user = by_token(request)
        asked = NewTokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        slug = asked.validated_data.pop("project")
        project = actions.find(slug, user=user) if slug else None
        made, key = tokens.mint(**asked.validated_data, project=project, by=user)
        return Response(_with_key(made, key), status=201)


class TokenDetail(APIView):
    """One API token."""

    @extend_schema(responses=TokenSerializer, tags=["tokens"], operation_id="tokens_show")
    def get(self, request: Request, number: int) -> Response:
        return Response(TokenSerializer(tokens.find(number, by=acting(request.user))).data)

    @extend_schema(responses={204: None}, tags=["tokens"], operation_id="tokens_revoke")
    def delete(self, request: Request, number: int) -> Response:
        """End it at once, with all that it minted and all that was exchanged for it."""
        user = acting(request.user)
        tokens.revoke(tokens.find(number, by=user), by=user)
        return Response(status=204)


class TokenRotation(APIView):
    """The new key of a token."""

    @extend_schema(
        request=RotationSerializer,
        responses={201: MadeTokenSerializer},
        tags=["tokens"],
        operation_id="tokens_rotate",
    )
    def post(self, request: Request, number: int) -> Response:
        """The same token with a new key, and a number of its own; the old one ends, at once or after the grace."""
        user = by_token(request)
        asked = RotationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made, key = tokens.rotate(tokens.find(number, by=user), **asked.validated_data, by=user)
        return Response(_with_key(made, key), status=201)


class Jwt(APIView):
    """JSON Web Tokens for services, in exchange for an API token."""

    authentication_classes = (TokenAuthentication,)

    @extend_schema(request=None, responses=PairSerializer, tags=["tokens"], operation_id="jwt_exchange")
    def post(self, request: Request) -> Response:
        """An access token for 5 minutes, and a refresh token for 7 days; they can do what the API token can."""
        assert isinstance(request.auth, ApiToken)
        pair = jwts.exchange(request.auth, by=acting(request.user).username)
        return Response(PairSerializer(pair).data)


class JwtRefresh(APIView):
    """The next pair of JSON Web Tokens."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        request=RefreshSerializer,
        responses=PairSerializer,
        tags=["tokens"],
        operation_id="jwt_refresh",
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Each refresh token is good once. Used again, it ends all tokens that came of the same exchange."""
        asked = RefreshSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(PairSerializer(jwts.refresh(asked.validated_data["refresh"])).data)


class JwtRevoke(APIView):
    """The end of JSON Web Tokens."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        request=JwtSerializer, responses={204: None}, tags=["tokens"], operation_id="jwt_revoke", auth=[]
    )
    def post(self, request: Request) -> Response:
        """End all tokens that came of the same exchange as this one."""
        asked = JwtSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        jwts.revoke(asked.validated_data["token"])
        return Response(status=204)


def by_token(request: Request) -> User:
    """Who asks for a key. A browser's session is not enough: its page asks for the password again.

    Nor is a JSON Web Token: it ends within minutes, and what it made would not.
    """
    if request.auth is None:
        raise Forbidden(
            "Keys are given to whoever calls with a token. In a browser, make them at /settings/tokens/."
        )
    if isinstance(request.successful_authenticator, JwtAuthentication):
        raise Forbidden("Keys are given to whoever calls with the API token itself: they outlive this one.")
    return acting(request.user)


def _with_key(token: ApiToken, key: str) -> dict[str, Any]:
    return {**TokenSerializer(token).data, "key": key}
