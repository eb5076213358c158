#!/usr/bin/env python3
"""LinkChecker, also for root. Its own program changes from root to the user nobody, who may not read the site."""

from linkcheck.command import linkchecker

linkchecker.drop_privileges = lambda: None
linkchecker.linkchecker()
