/* The intrusive list: order, removal, moving. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 4 };

static struct list head, node[NODES];

static int begin(void **state)
{
    (void)state;
    memset(node, 0, sizeof node);
    list_init(&head);
    for (int i = 0; i < NODES; i++)
        list_append(&head, &node[i]);
    return 0;
}

/* The numbers of the nodes in a list, as a string. */
static void expect(const struct list *list, const char *numbers)
{
    const struct list *at = list;

    for (; *numbers != '\0'; numbers++) {
        assert_ptr_equal(at->next, &node[*numbers - '0']);
        assert_ptr_equal(at->next->previous, at);
        at = at->next;
    }
    assert_ptr_equal(at->next, list);
    assert_ptr_equal(list->previous, at);
}

static void keeps_the_order(void **state)
{
    (void)state;
    expect(&head, "0123");
    list_remove(&node[1]);
    expect(&head, "023");
    assert_false(list_holds(&node[1]));
    list_append(&head, &node[1]);
    expect(&head, "0231");
}

static void removes_first_last_and_all(void **state)
{
    (void)state;
    list_remove(&node[0]);
    list_remove(&node[3]);
    expect(&head, "12");
    list_remove(&node[2]);
    list_remove(&node[1]);
    assert_true(list_is_empty(&head));
    list_remove(&node[1]); /* in no list: nothing happens */
    expect(&head, "");
}

static void moves_all(void **state)
{
    struct list other;

    (void)state;
    list_init(&other);
    list_move_all(&head, &other);
    expect(&head, "");
    expect(&other, "0123");
    list_remove(&node[2]);
    list_append(&head, &node[2]);
    list_move_all(&head, &other);
    expect(&other, "0132");
    list_move_all(&head, &other);
    expect(&other, "0132");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(keeps_the_order, begin),
        cmocka_unit_test_setup(removes_first_last_and_all, begin),
        cmocka_unit_test_setup(moves_all, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
