"""The HTTP contract, case by case, over real HTTP, a real broker and real workers.

Here stand the cases about vectors, requests and what the service says of itself. Those about keys, load and the life
of an API are in `tests/api`, those about clients in `tests/clients` and `tests/api/test_openai_python.py`.
"""
