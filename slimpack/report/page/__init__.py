"""The report as one HTML file that needs nothing else: no network, no font, no library.

Every text of the image is cleaned and escaped; the page's policy (CSP) forbids all
scripts but its own, by digest, and all requests. Lists are cut off, with a line that
says so, which keeps the page below 2 MB whatever the image holds.
"""

from slimpack.report.page.document import render

__all__ = ["render"]
