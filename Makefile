# What a day's work needs. `make check` before each commit, `make test` before a change is handed in.
BIN ?= .venv/bin
PYTEST = $(BIN)/pytest -p no:cacheprovider
CORES = -n auto --dist loadfile

.PHONY: install check test full export examples release

install:  ## an environment for developers
	python3 -m venv .venv
	$(BIN)/pip install -q -e '.[test]' -e ./clients/python

check:  ## format, lint, types, the checks of the tree, and the fast tests: under two minutes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd clients/python && $(CURDIR)/$(BIN)/mypy
	$(BIN)/gameserver protocol export --to protocol --check
	$(PYTEST) tests/tidy tests/protocol tests/apps tests/services/test_player_state.py

test:  ## every test, on SQLite and memory, then those that depend on it on PostgreSQL and Redis
	rm -rf .found
	GAMESERVER_TEST_BACKENDS=embedded $(PYTEST) $(CORES) --write-found .found
	$(PYTEST) --read-found .found tests/tidy/test_operations.py
	GAMESERVER_TEST_BACKENDS=services $(PYTEST) $(CORES)

full:  ## what has to hold before a change is taken; installs what is missing
	bash .ci/run

release:  ## what a release consists of, in dist/; publishes nothing
	bash .ci/release

export:  ## write anew what is generated from the code
	$(BIN)/gameserver protocol export --to protocol
	$(BIN)/python clients/python/generate.py
	$(BIN)/python clients/csharp/generate.py
	$(BIN)/python clients/js/generate.py

examples:  ## add examples of new operations, or of changed ones, to protocol/examples
	$(PYTEST) --record-examples tests/services tests/faces tests/protocol
