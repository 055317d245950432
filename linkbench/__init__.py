"""How good a link is: the experiments of the study that first showed one, as one command, for any mount and any site.

It knows two folders, one on the mount and one local, and `ctlab`; for the cut also how the site cuts its line. Nothing of hubs,
jobs or SSH.
"""

from linkbench.measure import measure
from linkbench.results import Report, read
from linkbench.settings import FULL, QUICK, Settings

__all__ = ["FULL", "QUICK", "Report", "Settings", "measure", "read"]
