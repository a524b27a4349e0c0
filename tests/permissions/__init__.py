"""Who may do what: every route × every kind of principal, and nothing of one project for another's members."""
