"""Paging of lists in the API: newest first, by cursor, so that pages do not shift while rows arrive."""

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """`?page_size=` up to 200; `next` and `previous` are addresses."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = "-created_at"
