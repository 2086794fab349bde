"""What a person sees in a terminal while runs are done."""
