"""`hookline sync`: delete the months that the database need not keep."""
