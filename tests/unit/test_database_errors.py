"""Errors of MySQL and MariaDB, which have no server in these tests: their numbers, as PyMySQL gives them."""

import pytest
from sqlalchemy.exc import OperationalError

from monitor.sample.database_errors import passing, why


class FromPyMySQL(Exception):
    """PyMySQL adds the SQLSTATE that the server sends, which is less exact than the number."""

    sqlstate = "42000"


@pytest.mark.parametrize(
    ("number", "message", "told", "again"),
    [
        (1044, "Access denied for user 'r'@'h' to database 'd'", "access denied: Access denied for user", False),
        (1142, "SELECT command denied to user", "access denied: SELECT command denied to user", False),
        (1969, "Query execution was interrupted (max_statement_time exceeded)", "took longer than 5 s", False),
        (3024, "Query execution was interrupted, maximum statement execution time exceeded", "took longer", False),
        (1792, "Cannot execute statement in a READ ONLY transaction", "sources are only read", False),
        (2003, "Can't connect to MySQL server on 'h'", "does not answer: Can't connect", True),
        (2013, "Lost connection to MySQL server during query", "does not answer: Lost connection", True),
        (1054, "Unknown column 'x' in 'SELECT'", "Unknown column 'x' in 'SELECT'", False),
    ],
)
def test_a_number_of_mysql(number: int, message: str, told: str, again: bool) -> None:
    error = OperationalError("SELECT 1", None, FromPyMySQL(number, message))
    assert told in why(error, 5)
    assert passing(error) is again
