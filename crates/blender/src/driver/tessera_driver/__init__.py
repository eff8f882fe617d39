"""All that Tessera does inside Blender: what differs between Blender versions, and nothing else."""
