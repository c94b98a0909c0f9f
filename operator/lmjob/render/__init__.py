"""A plan becomes the objects of Kubernetes: plain dictionaries, ready to be sent to an API server.

manifests   one function for each kind of object; the only door
template    jinja2 templates and the check that a text never became structure
podvalues   what stands in the template of a pod
allowed     the closed list of fields that an object of a job may have; that of a pod is
            `podfields`, what both are written with is `closed`
volumes     where claims and the pod's own folders are mounted
literal     texts of a user that the kubelet must not expand

Pure: values in, values out. Callers: `lmjob.kube` and `lmjob render`.
"""

from lmjob.render.closed import NotAllowedError
from lmjob.render.manifests import config_map, owner_reference, pod, service
from lmjob.render.template import ShapeError

__all__ = ["NotAllowedError", "ShapeError", "config_map", "owner_reference", "pod", "service"]
