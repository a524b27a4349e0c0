"""Who may do what: accounts and tokens, roles, access control lists, tickets, and the check that each route needs."""
