"""The features that the earlier kits had, one test a row of their table: `pytest -k row_`.

A test is named by the number of its row and holds the check that the row asks for.
"""
