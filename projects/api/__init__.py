"""Projects, people and tokens over REST; a module for each noun."""
