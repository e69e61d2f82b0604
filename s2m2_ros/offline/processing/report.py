"""stub"""


def report_page(name, stream, recipe, summary):
    return 'report'
