"""`hookline status`: the state of every part of the pipeline on one screen."""
