"""Training: pictures drawn by program, the stages, and the embedded model `nano`. torch only.

Runs from a bare source tree: nothing here needs the compiled extension.
"""
