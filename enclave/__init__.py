"""Around the notebook, inside the job: mount, sandbox, doorway. Knows no CT and no quota."""
