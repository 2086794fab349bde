"""``fedskew audit``: from the name of a defence to a study of it."""
