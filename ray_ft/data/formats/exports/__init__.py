"""What programs write out for others to read: books, mail, dumps of wikis, and descriptions of interfaces."""
