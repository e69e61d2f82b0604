"""S2M2 stereo matching: network, inference, geometry, training and a ROS 2 node.

Importing this package needs no ROS. The messages, ``s2m2_ros.msg``, are generated and live in the
installation; extending the path finds them also when Python starts beside this source folder.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
__version__ = '1.0.0'
