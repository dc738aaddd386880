"""Names that float: vendors' aliases, hub repositories without a commit, images by tag, libraries without a version.

``scan`` reads files and says what can move, where, and what to write instead. It asks nothing and changes nothing.
"""

from monitor.pins.scan import scan

__all__ = ["scan"]
