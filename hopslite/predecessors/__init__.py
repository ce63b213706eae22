"""Names and older keywords of HopsML and Maggy, and stand-ins for those that hopslite does not have.

`MODULES` is the one list of the predecessors' names. `docs/migrating.md` shows it, `hopslite migrate` reads it, and
what hopslite does not have is refused with its advice.
"""

from ._hopsml import HOPSML, HOPSML_VERSIONS
from ._index import MODULES, counterpart, entry_at, lookup
from ._keywords import RENAMED, UNUSED, current_keywords
from ._maggy import MAGGY, MAGGY_VERSIONS
from ._names import Module, Name, Status
from ._standins import MODULES_GONE, absent_name, register

__all__ = [
    "HOPSML",
    "HOPSML_VERSIONS",
    "MAGGY",
    "MAGGY_VERSIONS",
    "MODULES",
    "MODULES_GONE",
    "Module",
    "Name",
    "RENAMED",
    "Status",
    "UNUSED",
    "absent_name",
    "counterpart",
    "current_keywords",
    "entry_at",
    "lookup",
    "register",
]
