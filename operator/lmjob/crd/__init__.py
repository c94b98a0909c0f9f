"""The custom resource's definition, made from the classes that read a job and report on it.

    document   the definition, its columns, the text of the file
    schema     settings classes -> schema
    patterns   regular expressions for RE2
    cel        one rule in CEL, in the words of the class that has it
    rules      which rules a class has; *rules, by subject
    status     the schema of the status

Pure. `make crd` writes manifests/crd; a test compares the file with a fresh one.
"""

from lmjob.crd.document import crd_file, custom_resource

__all__ = ["crd_file", "custom_resource"]
