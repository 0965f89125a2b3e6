"""The oracle of row-level security: random policies, rows, rights and claims; the answer is what PostgreSQL shows each role.

* ``vocabulary``  what is chosen from: tables, conditions of policies, bodies of functions, queries, claims;
* ``changes``     random statements made of it;
* ``worlds``      a database with its roles, on one of several servers, with either decoder, behind a pooler or not;
* ``watches``     subscribers that keep every list that they had;
* ``history``     steps: statements are committed, subscribers come, go and get other claims, then lists are compared.
"""
