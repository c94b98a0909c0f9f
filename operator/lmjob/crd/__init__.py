"""The custom resource's definition, made from the classes that read a job and report on it.

    document   the definition, its columns, the text of the file
    schema     settings classes -> schema
    patterns   regular expressions for RE2
    rules      rules between fields, in CEL
    status     the schema of the status

Pure. `make crd` writes manifests/crd; a test compares the file with a fresh one.
"""

from lmjob.crd.document import crd_file, custom_resource

__all__ = ["crd_file", "custom_resource"]
