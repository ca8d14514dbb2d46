"""The Veros engine: DINO in Veros 1.7, its whole step traced to one pure JAX function.

Importing this package loads neither JAX nor Veros; its modules ``setup``, ``step`` and ``run`` do.
``python -m warmstart.engine.veros JOB.yaml`` runs a job (:class:`warmstart.engine.base.Job`).
"""
