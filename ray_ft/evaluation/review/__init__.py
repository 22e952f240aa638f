"""People look through an exam's questions before it is asked: in the terminal, or on a page."""
