"""Memory estimators beside each other, on runs that somebody measured."""
