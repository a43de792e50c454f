"""The engine loads a model, encodes pictures, and decodes answers for one or many requests at once.

Prompts for tasks, and what an answer means, are the matter of `galago.tasks`.
"""
