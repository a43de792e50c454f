"""Suites of questions with true answers and the metrics that judge them. A suite never knows a model."""
