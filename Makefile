# Thin on purpose: each target is a script that can be run by itself.

.PHONY: demo test bench docs check clean

demo:   ## set up, then ask the embedded model about the shipped picture
	@scripts/demo

test:   ## set up, check the form, run the sanitizers and the tests
	@scripts/setup test
	@scripts/check
	@scripts/test

bench:  ## measure a cold question and a warm one on this machine
	@scripts/setup
	@scripts/bench

docs:   ## write the generated reference pages
	@scripts/setup
	@scripts/docs

check:  ## format, lint, types, import levels, generated pages
	@scripts/setup test
	@scripts/check

clean:  ## remove what setup and the build made
	rm -rf .venv build dist
