"""The parts of the fault campaign (``tests/campaign.py``)."""
