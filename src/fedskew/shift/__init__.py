"""Shifts: how the features or labels of each client's data differ from what the data set has."""
