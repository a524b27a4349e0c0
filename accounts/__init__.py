"""How people sign in: sessions, passwords, second factors, passkeys, a company's OpenID Connect; over django-allauth.

What they may do once they are in is for `projects`; API tokens are there as well.
"""
